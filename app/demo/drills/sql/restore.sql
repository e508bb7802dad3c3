INSERT INTO credit_lines SELECT * FROM kept WHERE wallet_address <> ALL($1)
