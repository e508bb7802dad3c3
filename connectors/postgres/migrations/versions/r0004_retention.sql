-- What is over for long enough is deleted (DRIFTWATCH_RETAIN), and stays counted: a counter that goes down is taken for
-- one that began anew.
create table recon.forgotten (
    name     text not null,
    rule     text not null,
    label    text not null,
    sublabel text not null,
    value    double precision not null,
    primary key (name, rule, label, sublabel)
);
comment on table recon.forgotten is 'What the counters say of rows that were deleted';

create index episodes_ended on recon.episodes (resolved_at) where state = 'resolved';

create or replace function recon.refuse_change()
    returns trigger
    language plpgsql
as $$
begin
    if tg_op = 'DELETE' then
        if old.number <= nullif(current_setting('recon.forgets', true), '')::bigint then
            return old;
        end if;
    end if;
    raise exception 'recon.audit is append-only' using errcode = 'insufficient_privilege';
end
$$;

-- The oldest lines, at most so many, once a day's worth is old enough; a line that stays says which they were, and the hash
-- of the last of them, with which the chain goes on.
create function recon.forget_audit(before timestamptz, most integer)
    returns bigint
    language plpgsql
as $$
declare
    last recon.audit;
    gone bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('driftwatch audit', 0));
    select a.* into last
    from (select * from recon.audit order by number limit most) as a
    where not exists (select from recon.audit l where l.number <= a.number and l.at >= before)
        and exists (select from recon.audit l where l.number <= a.number and l.at < before - interval '1 day')
    order by a.number desc
    limit 1;
    if last.number is null then
        return 0;
    end if;
    perform recon.append_audit(now(), 'recorder', 'forget', 'audit', jsonb_build_object(
        'through', last.number, 'hash', encode(last.hash, 'hex'), 'before', before
    ));
    perform set_config('recon.forgets', last.number::text, true);
    delete from recon.audit where number <= last.number;
    get diagnostics gone = row_count;
    perform set_config('recon.forgets', '', true);
    return gone;
end
$$;
