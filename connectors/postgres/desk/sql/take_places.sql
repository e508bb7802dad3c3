-- Before anything else of a transaction: two that write the same partition take turns.
INSERT INTO recon.positions AS held (topic, partition, next_offset, told_offset)
SELECT p.topic, p.partition, p.next_offset, p.told_offset
FROM jsonb_to_recordset($1::jsonb) AS p(topic text, partition integer, next_offset bigint, told_offset bigint)
ORDER BY p.topic, p.partition
ON CONFLICT (topic, partition) DO UPDATE
SET next_offset = excluded.next_offset, told_offset = excluded.told_offset
