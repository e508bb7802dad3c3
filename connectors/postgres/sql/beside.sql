SELECT {forms}, ARRAY[{printed}]::text[] AS place
FROM {relation} AS joined
WHERE {behind} AND NOT EXISTS (SELECT FROM {own} AS own WHERE {match})
ORDER BY {keys}
LIMIT {size}
