-- A rebuild waits for the transactions that hold this row, and they see that there was one.
SELECT generation FROM recon.recorder FOR SHARE
