-- How far each subscriber has been served, and what came of what was sent. Neither is an event: each delivery would be one more
-- event to deliver. All that this table forgets is sent again.

create table public.subscribers_{shard} (
    subscription uuid primary key,
    position bigint not null,
    taken_at timestamptz
) with (fillfactor = 50);

-- One row an event that was sent, kept for the newest of each subscriber. outcome: delivered, retrying or failed.
create table public.sent_{shard} (
    subscription uuid not null,
    position bigint not null,
    event uuid not null,
    type text not null,
    run uuid,
    outcome text not null,
    attempts int not null,
    first_attempt_at timestamptz not null,
    last_attempt_at timestamptz not null,
    next_attempt_at timestamptz,
    status int,
    problem text not null,
    primary key (subscription, position)
);

revoke all on public.subscribers_{shard}, public.sent_{shard} from public;

do $$
begin
    if exists (select from pg_roles where rolname = 'ledgermill_app') then
        grant select, insert, update, delete on public.subscribers_{shard}, public.sent_{shard} to ledgermill_app;
    end if;
end $$;
