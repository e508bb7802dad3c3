-- The notifier's outbox. It is not derived: what was told cannot be taken back, so a rebuild of the records leaves it alone.
create table recon.notice_events (
    id      text primary key,
    seen_at timestamptz not null
);
comment on table recon.notice_events is 'Every transition that the notifier has taken in: it is told once';
create index notice_events_seen on recon.notice_events (seen_at);

create table recon.notices (
    id         text not null,
    target     text not null,
    place      bigint generated always as identity,
    kind       text not null
        check (kind in ('opened', 'updated', 'resolved', 'reopened', 'group', 'flapping', 'calm')),
    rule       text not null,
    lane       text,
    episode    text,
    severity   text not null check (severity in ('low', 'medium', 'high', 'critical')),
    at         timestamptz not null,
    payload    json not null,
    state      text not null check (state in ('held', 'pending', 'delivered', 'dead', 'folded')),
    told_in    text,
    attempts   integer not null default 0,
    next_at    timestamptz not null,
    last_error text,
    created_at timestamptz not null,
    settled_at timestamptz,
    primary key (id, target)
);
comment on table recon.notices is 'One row for each event and each target that is told of it';
comment on column recon.notices.id is 'of the event; derived for a group, for flapping and for calm';
comment on column recon.notices.place is 'the order of telling; handed out under a lock, so it is the order of commits too';
comment on column recon.notices.lane is 'the key (a hash of a long one); null: of the whole rule';
comment on column recon.notices.at is 'event time';
comment on column recon.notices.payload is 'the body, to the letter';
comment on column recon.notices.state is 'held: until its window closes; folded: part of told_in';
-- attempts >= 0 always holds: only what walks the queue says it, so that nothing else is planned by this index, which
-- answers a question about one key by reading all of them
create index notices_pending on recon.notices (target, place) where state = 'pending' and attempts >= 0;
create index notices_lane on recon.notices (target, rule, lane, place) where state = 'pending';
create index notices_barrier on recon.notices (target, rule, place) where state = 'pending' and lane is null;
create index notices_held on recon.notices (target, rule, created_at) where state = 'held';
create index notices_dead on recon.notices (target) where state = 'dead';
create index notices_episode on recon.notices (episode, target);
create index notices_settled on recon.notices (settled_at) where settled_at is not null;

create table recon.notice_flapping (
    rule     text not null,
    lane     text not null,
    flaps_us bigint[] not null,
    began    text,
    told     text[] not null,
    quiet    integer not null,
    last     json,
    calm_at  timestamptz not null,
    primary key (rule, lane)
);
comment on table recon.notice_flapping is 'Keys that were reopened lately';
comment on column recon.notice_flapping.flaps_us is 'event times, microseconds since 1970';
comment on column recon.notice_flapping.began is 'the event that made it flap; null: it does not';
create index notice_flapping_calm on recon.notice_flapping (calm_at);
