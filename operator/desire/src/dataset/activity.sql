-- What tells whether anything was written in any database of a server, or in the catalogs that all share (under an empty name), as one JSON text: a right,
-- a role or a view that somebody changes is a row of a catalog that is inserted, updated or deleted, and reading changes none of these numbers.
SELECT json_build_object(
    'now', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'started', extract(epoch FROM pg_postmaster_start_time())::text,
    'counts', current_setting('track_counts') = 'on',
    'written', (SELECT coalesce(json_object_agg(
        coalesce(d.datname, ''), d.tup_inserted || ' ' || d.tup_updated || ' ' || d.tup_deleted || ' ' || coalesce(d.stats_reset::text, '')), '{}')
        FROM pg_stat_database AS d)
)::text
