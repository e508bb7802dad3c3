SELECT {forms}, ARRAY[{printed}]::text[] AS place
FROM {relation}
WHERE {behind}
ORDER BY {keys}
LIMIT {size}
