-- What a server says of itself and of the role that asks, as one JSON text.
SELECT json_build_object(
    'version', split_part(current_setting('server_version'), ' ', 1),
    'standby', pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean,
    'now', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'role', current_user,
    'may_create', r.rolsuper OR (r.rolcreaterole AND r.rolcreatedb),
    'may_end_sessions', r.rolsuper OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE'),
    'counts_statements', pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
        AND EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'),
    'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    'most_connections', current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
    'bytes', (SELECT coalesce(sum(pg_database_size(d.oid)), 0)::bigint FROM pg_database AS d
              WHERE starts_with(shobj_description(d.oid, 'pg_database'), 'maru.dev dataset=')
                AND has_database_privilege(d.oid, 'CONNECT'))
)::text
FROM pg_roles AS r WHERE r.rolname = current_user
