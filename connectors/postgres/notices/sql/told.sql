select distinct target, episode from recon.notices where episode = any ($1::text[]);
