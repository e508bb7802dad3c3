-- The columns of a table ($1 schema, $2 table), and the expression that gives each as the change stream spells
-- it (Debezium with decimal.handling.mode=string, time.precision.mode=isostring, binary.handling.mode=base64).
-- form: null where there is none. All quoting is the server's.
WITH RECURSIVE held AS (
    SELECT c.oid AS relation, n.nspname, c.relname, a.attname, a.attnum, a.attgenerated,
           a.atttypid AS declared, a.atttypmod AS declared_modifier
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
), base AS (
    SELECT attnum, declared AS type, declared_modifier AS modifier FROM held
    UNION ALL
    SELECT b.attnum, t.typbasetype, t.typtypmod
    FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
), typed AS (
    SELECT b.attnum, t.typname, t.typtype, t.typcategory, e.typname AS element, e.typtype AS element_type,
           CASE WHEN b.modifier BETWEEN 1 AND 6 THEN b.modifier ELSE 6 END AS digits
    FROM base b JOIN pg_type t ON t.oid = b.type LEFT JOIN pg_type e ON e.oid = t.typelem
    WHERE t.typtype <> 'd'
), forms (name, form) AS (VALUES
    ('bool', '%1$I'), ('int2', '%1$I'), ('int4', '%1$I'), ('int8', '%1$I'), ('float8', '%1$I'),
    ('float4', '%1$I::text::float8'),
    ('text', '%1$I'), ('varchar', '%1$I'), ('bpchar', '%1$I'),
    ('numeric', 'CASE WHEN %1$I = ''NaN'' THEN ''NAN'' ELSE %1$I::text END'),
    ('money', '(%1$I::numeric)::text'),
    ('timestamptz', 'CASE WHEN isfinite(%1$I) THEN to_char(%1$I AT TIME ZONE ''UTC'', '
                    '''YYYY-MM-DD"T"HH24:MI:SS.FF%2$s"Z"'') ELSE %1$I::text END'),
    ('timestamp', 'CASE %1$I WHEN ''infinity'' THEN ''+294247-01-10T04:00:25.2Z'' '
                  'WHEN ''-infinity'' THEN ''-290308-12-21T19:59:27.6Z'' ELSE '
                  'rtrim(rtrim(to_char(%1$I, ''YYYY-MM-DD"T"HH24:MI:SS.US''), ''0''), ''.'') || ''Z'' END'),
    ('date', 'CASE WHEN %1$I = ''infinity'' THEN ''-5877611-06-21Z'' WHEN NOT isfinite(%1$I) THEN %1$I::text '
             'WHEN %1$I < ''0001-01-01'' THEN ''-'' || lpad((-1 - extract(year FROM %1$I))::text, 4, ''0'') '
             '|| to_char(%1$I, ''-MM-DD'') || ''Z'' ELSE to_char(%1$I, ''YYYY-MM-DD'') || ''Z'' END'),
    ('time', '%1$I::text || ''Z'''),
    ('timetz', '(%1$I AT TIME ZONE ''UTC'')::time::text || ''Z'''),
    ('interval', '''P'' || extract(year FROM %1$I) || ''Y'' || extract(month FROM %1$I) || ''M'' '
                 '|| extract(day FROM %1$I) || ''DT'' || extract(hour FROM %1$I) || ''H'' '
                 '|| extract(minute FROM %1$I) || ''M'' || trim_scale(extract(second FROM %1$I)) || ''S'''),
    ('bytea', 'translate(encode(%1$I, ''base64''), E''\n'', '''')'),
    ('printed', 'CASE WHEN %1$I IS NOT NULL THEN format(''%%s'', %1$I) END'),
    ('list', 'to_json(%1$I)::text'),
    ('list of texts', 'to_json(%1$I::text[])::text')
), named AS (
    SELECT attnum, digits, CASE
        WHEN typtype IN ('e', 'r') OR typname IN ('uuid', 'json', 'jsonb', 'xml', 'citext', 'inet', 'cidr',
                                                  'macaddr', 'macaddr8') THEN 'printed'
        WHEN typcategory = 'A' AND element IN ('bool', 'int2', 'int4', 'int8', 'float8') THEN 'list'
        WHEN typcategory = 'A' AND (element_type = 'e' OR element IN ('text', 'varchar', 'numeric', 'uuid', 'citext'))
            THEN 'list of texts'
        ELSE typname END AS name
    FROM typed
)
SELECT h.attname::text AS name,
       format_type(h.declared, h.declared_modifier) AS type,
       format(f.form, h.attname, n.digits) AS form,
       coalesce(n.name LIKE 'list%', false) AS is_list,
       h.attgenerated <> '' AS is_generated,
       quote_ident(h.attname) AS quoted,
       format('%I.%I', h.nspname, h.relname) AS relation,
       array_position(i.indkey::int2[], h.attnum) AS key_place
FROM held h
JOIN named n USING (attnum)
LEFT JOIN forms f ON f.name = n.name
LEFT JOIN pg_index i ON i.indrelid = h.relation AND i.indisprimary
ORDER BY h.attnum
