delete from recon.notice_flapping where rule = $1 and lane = $2;
