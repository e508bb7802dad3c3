create view recon.cases as
select
    e.episode as id,
    e.rule,
    e.rule_version,
    e.key,
    e.severity,
    e.state,
    case
        when e.state = 'resolved' then 'resolved'
        when w.sequence = e.sequence then 'resolved_by_hand'
        else 'open'
    end as status,
    e.sequence,
    e.since,
    e.opened_at as created_at,
    case
        when e.state = 'resolved' then e.resolved_at
        when w.sequence = e.sequence then w.resolved_at
    end as resolved_at,
    e.cause,
    e.flaps,
    e.linked,
    e.confirmed,
    e.differences,
    e.trace,
    e.updated_at,
    w.resolved_by as work_by,
    w.notes as work_notes,
    w.actor as work_actor,
    w.resolved_at as work_at
from recon.episodes e
left join recon.exceptions_work w on w.episode = e.episode;
comment on view recon.cases is 'Every episode with what a person said of it; a word about an earlier transition does not count';

-- The names that people's SQL knows: what was resolved by hand is resolved, until it comes back.
create or replace view recon.reconciliation_exceptions as
select
    c.id,
    c.rule,
    c.key,
    (select string_agg(d ->> 'field', ',' order by n) from jsonb_array_elements(c.differences) with ordinality as f (d, n))
        as check_type,
    c.severity,
    case c.status when 'open' then 'open' else 'resolved' end as status,
    c.resolved_at,
    case c.status when 'resolved' then 'evidence' when 'resolved_by_hand' then c.work_by end as resolved_by,
    case c.status when 'resolved_by_hand' then c.work_notes else c.cause end as notes,
    c.created_at,
    c.since,
    c.flaps,
    c.linked,
    c.differences,
    c.updated_at
from recon.cases c;
