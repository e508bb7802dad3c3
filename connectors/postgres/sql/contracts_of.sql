-- The same for some keys ($1 of the statement that this makes, texts).
SELECT format('SELECT %1$I::text AS key, %2$I::text AS contract FROM %3$I.%4$I WHERE %2$I IS NOT NULL AND %1$I::text = ANY($1)',
              $1::text, $2::text, $3::text, $4::text)
