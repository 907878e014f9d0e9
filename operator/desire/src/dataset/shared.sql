-- What all databases of a server share and what each one's plan depends on, as one JSON text: for each database a hash of its owner, its rights and its
-- comment, of Maru's roles for it, and of who is a member of what there.
WITH ours AS (
    SELECT r.oid, substring(s.description from '^maru\.dev/"((?:[^"]|"")*)" ') AS name,
           concat_ws(' ', r.rolname, r.rolcanlogin, r.rolsuper, r.rolbypassrls, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolinherit,
                     r.rolconnlimit, s.description) AS fact
    FROM pg_roles AS r JOIN pg_shdescription AS s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
    WHERE starts_with(s.description, 'maru.dev/"')
), fact AS (
    SELECT replace(name, '""', '"') AS name, fact FROM ours
    UNION ALL
    SELECT replace(o.name, '""', '"'), m.roleid || ' has ' || m.member || ' ' || m.admin_option
    FROM pg_auth_members AS m JOIN ours AS o ON o.oid = m.roleid
    UNION ALL
    SELECT replace(o.name, '""', '"'), m.roleid || ' of ' || m.member || ' ' || m.admin_option
    FROM pg_auth_members AS m JOIN ours AS o ON o.oid = m.member
    UNION ALL
    SELECT d.datname, m.roleid || ' owns ' || m.member || ' ' || m.admin_option
    FROM pg_database AS d JOIN pg_auth_members AS m ON m.roleid = d.datdba
    UNION ALL
    SELECT d.datname, concat_ws(' ', d.datdba, r.rolsuper, d.datacl::text, s.description)
    FROM pg_database AS d JOIN pg_roles AS r ON r.oid = d.datdba
    LEFT JOIN pg_shdescription AS s ON s.objoid = d.oid AND s.classoid = 'pg_database'::regclass
)
SELECT coalesce(json_object_agg(name, hash), '{}')::text
FROM (SELECT name, md5(string_agg(fact, E'\n' ORDER BY fact)) AS hash FROM fact WHERE name IS NOT NULL GROUP BY name) AS all_of_it
