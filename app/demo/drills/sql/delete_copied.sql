DELETE FROM credit_lines WHERE id >= $1
