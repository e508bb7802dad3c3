SELECT topic, partition, next_offset, told_offset FROM recon.positions
