-- Whether a line was taken out to be sent to a service, and nothing is known of it yet.
ALTER TABLE line ADD COLUMN is_out INTEGER NOT NULL DEFAULT 0;
