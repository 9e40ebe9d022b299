-- When which gateway has last seen a runner poll. Gateways tell each other by it, so that one whose runner has gone to another
-- does not take it for silent. It is no history: what it leads to are the events RunnerOnline and RunnerOffline. So it need
-- not survive a crash either, after which everybody has a lease's time to show himself.

create unlogged table public.sightings_{shard} (
    runner uuid primary key,
    teller text not null,
    seen_at timestamptz not null
) with (fillfactor = 50);

revoke all on public.sightings_{shard} from public;

do $$
begin
    if exists (select from pg_roles where rolname = 'ledgermill_app') then
        grant select, insert, update, delete on public.sightings_{shard} to ledgermill_app;
    end if;
end $$;
