create table recon.audit (
    number      bigint primary key,
    at          timestamptz not null,
    who         text not null,
    what        text not null,
    subject     text not null,
    detail      jsonb not null,
    before_hash bytea not null,
    hash        bytea not null
);
comment on table recon.audit is 'Every act of a person, append-only; each line has the hash of the line before it';

create function recon.audit_hash(line recon.audit)
    returns bytea
    language sql stable
as $$
    select sha256(line.before_hash || convert_to(jsonb_build_array(
        line.number, (extract(epoch from line.at) * 1000000)::bigint, line.who, line.what, line.subject, line.detail
    )::text, 'UTF8'))
$$;

create function recon.append_audit(at timestamptz, who text, what text, subject text, detail jsonb)
    returns bigint
    language plpgsql
as $$
declare
    line recon.audit;
    last recon.audit;
begin
    -- one at a time, until the transaction ends: a line must know the one before it
    perform pg_advisory_xact_lock(hashtextextended('driftwatch audit', 0));
    select * into last from recon.audit a order by a.number desc limit 1;
    line.number := coalesce(last.number, 0) + 1;
    line.at := at;
    line.who := who;
    line.what := what;
    line.subject := subject;
    line.detail := detail;
    line.before_hash := coalesce(last.hash, sha256(''));
    line.hash := recon.audit_hash(line);
    insert into recon.audit select line.*;
    return line.number;
end
$$;

create function recon.refuse_change()
    returns trigger
    language plpgsql
as $$
begin
    raise exception 'recon.audit is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_lines before update or delete on recon.audit
    for each row execute function recon.refuse_change();
create trigger audit_whole before truncate on recon.audit
    for each statement execute function recon.refuse_change();
