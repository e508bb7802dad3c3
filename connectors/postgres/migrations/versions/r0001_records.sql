-- What the recorder keeps. Everything here but dead_letters and positions is derived from topics and is truncated by a
-- rebuild: no foreign key may point at it, and what people say about it stands in tables of its own.
CREATE SCHEMA IF NOT EXISTS recon;

CREATE TABLE recon.transitions (
    ce_id        text PRIMARY KEY,
    episode      text NOT NULL,
    sequence     integer NOT NULL,
    transition   text NOT NULL CHECK (transition IN ('opened', 'updated', 'resolved', 'reopened')),
    rule         text NOT NULL,
    rule_version integer NOT NULL,
    key          text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    at           timestamptz NOT NULL,
    confirmed    text,
    value        jsonb NOT NULL,
    headers      jsonb NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE recon.transitions IS 'Every event of drift.mismatches, as it was published; at is its event time';
CREATE INDEX transitions_episode ON recon.transitions (episode, sequence);
CREATE INDEX transitions_key ON recon.transitions (rule, key, at);

CREATE TABLE recon.episodes (
    episode      text PRIMARY KEY,
    rule         text NOT NULL,
    rule_version integer NOT NULL,
    key          text NOT NULL,
    severity     text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    state        text NOT NULL CHECK (state IN ('open', 'resolved')),
    since        timestamptz NOT NULL,
    opened_at    timestamptz NOT NULL,
    resolved_at  timestamptz,
    cause        text,
    flaps        integer NOT NULL,
    linked       text,
    sequence     integer NOT NULL,
    differences  jsonb NOT NULL,
    trace        jsonb NOT NULL,
    confirmed    text,
    updated_at   timestamptz NOT NULL
);
COMMENT ON TABLE recon.episodes IS 'One row an episode, as its last transition left it';
COMMENT ON COLUMN recon.episodes.since IS 'start of the present stretch (or of the last one, once resolved)';
COMMENT ON COLUMN recon.episodes.opened_at IS 'since of the first stretch that was recorded';
COMMENT ON COLUMN recon.episodes.resolved_at IS 'exact end; null while it is open';
COMMENT ON COLUMN recon.episodes.differences IS 'the last ones that were not empty';
COMMENT ON COLUMN recon.episodes.updated_at IS 'event time of the last transition';
CREATE INDEX episodes_opened ON recon.episodes (opened_at DESC, episode DESC);
CREATE INDEX episodes_rule_key ON recon.episodes (rule, key);
CREATE INDEX episodes_resolved ON recon.episodes (rule, resolved_at) WHERE state = 'resolved';
CREATE INDEX episodes_open ON recon.episodes (severity, rule, since) WHERE state = 'open';

CREATE TABLE recon.differences (
    episode     text NOT NULL,
    field       text NOT NULL,
    left_value  text,
    right_value text,
    difference  numeric,
    severity    text NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (episode, field)
);
COMMENT ON TABLE recon.differences IS 'The fields of episodes.differences, one row each';

CREATE TABLE recon.runs (
    rule         text NOT NULL,
    run          text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('sweep', 'seed')),
    state        text NOT NULL,
    requested_at timestamptz,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    checked      bigint NOT NULL,
    in_sync      bigint NOT NULL,
    drifting     bigint NOT NULL,
    in_flight    bigint NOT NULL,
    exempt       bigint NOT NULL,
    unverifiable bigint NOT NULL,
    repaired     bigint NOT NULL,
    errors       bigint NOT NULL,
    attempts     integer NOT NULL DEFAULT 1,
    cause        text,
    why          text,
    value        jsonb NOT NULL,
    settled_at   timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rule, run)
);
COMMENT ON TABLE recon.runs IS 'Sweeps and seeds; the parts in_sync to errors add up to checked';
COMMENT ON COLUMN recon.runs.why IS 'why it failed, or why nobody judged what it read';
COMMENT ON COLUMN recon.runs.settled_at IS 'when its checks were written';
CREATE INDEX runs_started ON recon.runs (started_at DESC, run DESC);
CREATE INDEX runs_unsettled ON recon.runs (finished_at)
    WHERE kind = 'sweep' AND state IN ('done', 'failed') AND settled_at IS NULL;

CREATE TABLE recon.checks (
    rule       text NOT NULL,
    run        text NOT NULL,
    check_type text NOT NULL,
    passed     boolean,
    mismatches bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (rule, run, check_type)
);
COMMENT ON TABLE recon.checks IS 'One row for each sweep that is over and each field of its rule';
COMMENT ON COLUMN recon.checks.passed IS 'null: it could not be verified';
CREATE INDEX checks_created ON recon.checks (created_at DESC);

CREATE TABLE recon.incidents (
    id         text PRIMARY KEY,
    rule       text,
    source     text,
    cause      text NOT NULL,
    since      timestamptz,
    until      timestamptz,
    state      text NOT NULL CHECK (state IN ('open', 'closed')),
    detail     text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE recon.incidents IS 'Lost or untrusted input';
CREATE INDEX incidents_open ON recon.incidents (rule) WHERE state = 'open';

CREATE TABLE recon.status (
    rule              text NOT NULL,
    partition         integer NOT NULL,
    verified_through  timestamptz,
    state             text NOT NULL,
    cause             text,
    watermark_left    timestamptz,
    watermark_right   timestamptz,
    clock_offset      double precision,
    open              jsonb NOT NULL,
    keys              bigint NOT NULL,
    unverifiable_keys bigint,
    updated_at        timestamptz NOT NULL,
    PRIMARY KEY (rule, partition)
);
COMMENT ON TABLE recon.status IS 'How far each rule is judged in each partition';
COMMENT ON COLUMN recon.status.clock_offset IS 'milliseconds';

CREATE TABLE recon.dead_letters (
    id          text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('run', 'webhook', 'record')),
    rule        text,
    reference   text NOT NULL,
    reason      text NOT NULL,
    payload     jsonb NOT NULL,
    attempts    integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    replayed_at timestamptz,
    resolved_at timestamptz
);
COMMENT ON TABLE recon.dead_letters IS 'What was given up: runs, webhooks, records that nobody could read';
CREATE INDEX dead_letters_created ON recon.dead_letters (created_at DESC, id DESC);

CREATE TABLE recon.positions (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    told_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE recon.positions IS 'How far the topics are recorded, and how far mismatches were logged';

CREATE TABLE recon.recorder (
    is_only    boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    generation bigint NOT NULL
);
COMMENT ON TABLE recon.recorder IS 'Its generation is raised by each rebuild';
INSERT INTO recon.recorder (generation) VALUES (1);
