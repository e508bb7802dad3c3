-- What was logged is not logged again.
TRUNCATE recon.transitions, recon.episodes, recon.differences, recon.runs, recon.checks, recon.incidents, recon.status,
         recon.forgotten;
UPDATE recon.positions SET next_offset = 0;
