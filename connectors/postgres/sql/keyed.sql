SELECT {forms}, ARRAY[{printed}]::text[] AS place
FROM {relation}
WHERE {key} = ANY($1::text[])
ORDER BY {keys}
