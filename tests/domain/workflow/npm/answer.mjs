// Reads {contexts, functions, expressions} as JSON from stdin; prints one answer a line: what GitHub's published library gives.
import {readFileSync} from "node:fs";
import {data, Evaluator, Lexer, Parser} from "@actions/expressions";

const {contexts, functions, expressions} = JSON.parse(readFileSync(0, "utf8"));
const context = JSON.parse(JSON.stringify(contexts), data.reviver);
const infos = Object.entries(functions).map(([name, [maxArgs, answer]]) => ({
  name, minArgs: 0, maxArgs, call: () => new data.BooleanData(answer),
}));
const table = new Map(infos.map(info => [info.name.toLowerCase(), info]));
const names = Object.keys(contexts);

function plain(value) {
  switch (value.kind) {
    case data.Kind.Array: return value.values().map(plain);
    case data.Kind.Dictionary: return Object.fromEntries(value.pairs().map(pair => [pair.key, plain(pair.value)]));
    case data.Kind.Null: return null;
    case data.Kind.Number:
      if (Number.isNaN(value.value)) return "NaN";
      if (!Number.isFinite(value.value)) return value.value > 0 ? "Infinity" : "-Infinity";
      return Object.is(value.value, -0) ? "-0" : value.value;
    default: return value.value;
  }
}

const kinds = {
  [data.Kind.Array]: "Array", [data.Kind.Dictionary]: "Object", [data.Kind.Null]: "Null",
  [data.Kind.Number]: "Number", [data.Kind.String]: "String", [data.Kind.Boolean]: "Boolean",
};

function answer(text) {
  try {
    const lexed = new Lexer(text).lex();
    const value = new Evaluator(new Parser(lexed.tokens, names, infos).parse(), context, table).evaluate();
    return {ok: true, kind: kinds[value.kind], value: plain(value)};
  } catch (error) {
    return {ok: false, err: String(error.message ?? error)};
  }
}

process.stdout.write(expressions.map(text => JSON.stringify(answer(text))).join("\n"));
