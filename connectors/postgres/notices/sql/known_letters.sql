select id from recon.dead_letters where kind = 'webhook' and id = any ($1::text[]);
