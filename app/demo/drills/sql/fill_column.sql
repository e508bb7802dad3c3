UPDATE credit_lines SET interest_rate_bps = known.rate
FROM unnest($1::text[], $2::integer[]) AS known (address, rate) WHERE wallet_address = known.address
