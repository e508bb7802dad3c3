-- The contract of each key, as a mapping table says it. All quoting is the server's.
SELECT format('SELECT %1$I::text AS key, %2$I::text AS contract FROM %3$I.%4$I WHERE %2$I IS NOT NULL',
              $1::text, $2::text, $3::text, $4::text)
