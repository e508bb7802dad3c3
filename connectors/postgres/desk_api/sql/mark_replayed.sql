UPDATE recon.dead_letters SET replayed_at = $2 WHERE id = ANY ($1);
