-- One shard's log: the eventsourcing library's columns, so that its recorder, its reads and its subscriptions work on it.
-- {shard} is the shard's number; the braces are filled in by infra/migrations.py.

create table public.events_{shard} (
    originator_id uuid not null,
    originator_version bigint not null,
    topic text not null,
    state bytea not null,
    notification_id bigserial not null,
    primary key (originator_id, originator_version)
);

create unique index events_{shard}_notification_id on public.events_{shard} (notification_id);

-- Positions of agents (process managers, bridges) that move in the same transaction as the events they cause.
create table public.tracking_{shard} (
    agent text primary key,
    position bigint not null
) with (fillfactor = 50);

create function public.events_{shard}_are_immutable() returns trigger language plpgsql as $$
begin
    raise exception 'events are immutable: % on % is refused', tg_op, tg_table_name using errcode = 'LM003';
end $$;

create trigger events_{shard}_immutable before update or delete or truncate on public.events_{shard}
    for each statement execute function public.events_{shard}_are_immutable();

-- The one function that appends. Everything that has to be true of the log is made true here, in this order:
--   1. the shard's advisory lock: the order of commits is the order of positions. A table lock would do the same and
--      stop at every ANALYZE and VACUUM. The lock is held until the commit is visible, never longer than that.
--   2. no hole in a stream: every continued stream has the expected version. That it has no later one is proved by the
--      primary key, which refuses a version that exists.
--   3. agents move from the position they say they are at.
--   4. positions in the given order, consecutive within one append.
--   5. the wake-up of readers, delivered by the commit.
-- A conflict is an error, so nothing is written; errcode LM001: a stream, LM002: an agent. Returns the first position.
create function public.append_events_{shard}(
    streams uuid[], versions bigint[], topics text[], states bytea[],
    continued uuid[], expected bigint[],
    agents text[], befores bigint[], afters bigint[]
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    size constant bigint := cardinality(streams);
    first_position bigint;
    moved bigint;
begin
    perform pg_advisory_xact_lock(7300, {shard});
    if cardinality(continued) > 0 and exists (
        select from unnest(continued, expected) as w(stream, version)
        where not exists (
            select from public.events_{shard} e where e.originator_id = w.stream and e.originator_version = w.version)
    ) then
        raise exception 'a stream is not at its expected version' using errcode = 'LM001';
    end if;
    if cardinality(agents) > 0 then
        insert into public.tracking_{shard} as t (agent, position)
            select a.agent, 0 from unnest(agents, befores) as a(agent, before) where a.before = 0
            on conflict do nothing;
        update public.tracking_{shard} t set position = a.after
            from unnest(agents, befores, afters) as a(agent, before, after)
            where t.agent = a.agent and t.position = a.before;
        get diagnostics moved = row_count;
        if moved <> cardinality(agents) then
            raise exception 'an agent is not at its position' using errcode = 'LM002';
        end if;
    end if;
    if size = 0 then
        return 0;
    end if;
    first_position := nextval('public.events_{shard}_notification_id_seq');
    if size > 1 then
        perform setval('public.events_{shard}_notification_id_seq', first_position + size - 1);
    end if;
    insert into public.events_{shard} (originator_id, originator_version, topic, state, notification_id)
        select e.stream, e.version, e.topic, e.state, first_position + e.place - 1
        from unnest(streams, versions, topics, states) with ordinality as e(stream, version, topic, state, place);
    perform pg_notify('events_{shard}', (first_position + size - 1)::text);
    return first_position;
end $$;

revoke all on public.events_{shard}, public.tracking_{shard} from public;
revoke all on sequence public.events_{shard}_notification_id_seq from public;
revoke all on function public.append_events_{shard} from public;

-- Where the operator made a role for the application, it may read and append, and nothing else.
do $$
begin
    if exists (select from pg_roles where rolname = 'ledgermill_app') then
        grant select on public.events_{shard}, public.tracking_{shard} to ledgermill_app;
        grant execute on function public.append_events_{shard} to ledgermill_app;
    end if;
end $$;

-- What an operator reads with psql.
create view public.events_json_{shard} as
select
    {shard} as shard,
    notification_id as position,
    originator_id as stream,
    originator_version as version,
    substring(topic from '^(.*)\.v\d+$') as type,
    substring(topic from '\.v(\d+)$')::int as schema,
    (state ->> 'at')::timestamptz as at,
    state ->> 'tenant' as tenant,
    state ->> 'actor' as actor,
    state ->> 'token' as token,
    (state ->> 'command')::uuid as command,
    (state ->> 'cause')::uuid as cause,
    (state ->> 'correlation')::uuid as correlation,
    state -> 'data' as data
from (
    select notification_id, originator_id, originator_version, topic, convert_from(state, 'UTF8')::jsonb as state
    from public.events_{shard}
) as readable;
