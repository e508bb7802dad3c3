COMMENT ON PUBLICATION {publication} IS 'driftwatch generation {generation}'
