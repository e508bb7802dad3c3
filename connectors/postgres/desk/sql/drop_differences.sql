DELETE FROM recon.differences WHERE episode = ANY($1::text[])
