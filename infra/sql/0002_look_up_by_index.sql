-- The append function again, cheaper to plan. Everything that it does, and why, stands in the first file.
--   The streams that are continued are looked for by the primary key, one after the other. As a join this was planned once,
--   on an empty log, where to read the whole table is the best plan; a busy session kept that plan and read the growing log
--   with every append, until ANALYZE came by. `limit` keeps it from becoming a join.
--   One plan serves all calls. Left to itself the planner makes a new one for each, because a short array looks cheaper.

create or replace function public.append_events_{shard}(
    streams uuid[], versions bigint[], topics text[], states bytea[],
    continued uuid[], expected bigint[],
    agents text[], befores bigint[], afters bigint[]
) returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp
    set plan_cache_mode = force_generic_plan as $$
declare
    size constant bigint := cardinality(streams);
    first_position bigint;
    moved bigint;
begin
    perform pg_advisory_xact_lock(7300, {shard});
    if cardinality(continued) > 0 and cardinality(continued) > (
        select count(*) from unnest(continued, expected) as w(stream, version), lateral (
            select from public.events_{shard} e where e.originator_id = w.stream and e.originator_version = w.version limit 1) as found
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
