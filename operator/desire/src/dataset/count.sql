-- What logins ($1: their names) did in a database ($2) since the server began to count, as one JSON text: for each login, and for each set of grants
-- that its statements name by their schemas, statements and rows. What names no grant counts where it read something. `{place}` is the schema of
-- pg_stat_statements. A login is its name and its OID: one made again under its name begins at nothing.
WITH login AS (
    SELECT r.oid, r.rolname, r.rolname || '#' || r.oid AS id
    FROM json_array_elements_text($1::text::json) AS l(name) JOIN pg_roles AS r ON r.rolname = l.name
), statement AS (
    SELECT login.rolname, login.id, named.grants, s.calls, s.rows
    FROM {place}.pg_stat_statements AS s JOIN login ON login.oid = s.userid
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(DISTINCT lower(m.parts[1])), '{}') AS grants
        FROM regexp_matches(coalesce(s.query, ''), 'maru_grant_([0-9a-f]{32})', 'gi') AS m(parts)
    ) AS named
    WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = $2::text) AND s.toplevel
      AND (named.grants <> '{}' OR s.shared_blks_hit + s.shared_blks_read > 0)
)
SELECT json_build_object(
    'since', (SELECT extract(epoch FROM i.stats_reset)::text FROM {place}.pg_stat_statements_info AS i),
    'evictions', (SELECT i.dealloc FROM {place}.pg_stat_statements_info AS i),
    'logins', (SELECT coalesce(json_agg(id), '[]') FROM login),
    'counts', (SELECT coalesce(json_agg(c), '[]') FROM (
        SELECT rolname AS role, id AS login, grants, sum(calls)::bigint AS queries, sum(rows)::bigint AS rows
        FROM statement GROUP BY rolname, id, grants) AS c)
)::text
