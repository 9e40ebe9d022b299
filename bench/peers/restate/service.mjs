// One handler with five durable steps that do nothing, each awaited before the next.
import * as restate from "@restatedev/restate-sdk";

const job = restate.service({
  name: "job",
  handlers: {
    run: async (ctx) => {
      for (let step = 0; step < 5; step++) await ctx.run(`step ${step}`, () => step);
    },
  },
});
restate.serve({ services: [job], port: Number(process.env.PORT) });
