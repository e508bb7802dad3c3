CREATE PUBLICATION {publication} FOR TABLE {tables} WITH (publish = 'insert, update, delete, truncate')
