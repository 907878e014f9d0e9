-- Everything that Maru compares with its plan, of the database that it is connected to, as one JSON text.
WITH here AS (
    SELECT d.oid, d.datdba, d.datacl,
           'maru.dev/"' || replace(d.datname, '"', '""') || '" ' AS prefix
    FROM pg_database AS d WHERE d.datname = current_database()
), ours AS (
    SELECT r.oid, r.rolname, r.rolcanlogin, r.rolsuper, r.rolbypassrls, r.rolcreatedb, r.rolcreaterole, r.rolreplication,
           r.rolinherit, r.rolconnlimit,
           substring(s.description from length(here.prefix) + 1) AS remark
    FROM here CROSS JOIN pg_roles AS r
    JOIN pg_shdescription AS s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
    WHERE starts_with(s.description, here.prefix)
), found AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relowner, c.relacl, c.reloptions,
           -- The server's estimate; before it first made one, what it counted as written.
           CASE WHEN c.reltuples < 0 THEN coalesce(pg_stat_get_live_tuples(c.oid), 0) ELSE c.reltuples END AS rows
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
      AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
), acl AS (
    SELECT 'D' AS kind, current_database()::text AS schema, '' AS name, '' AS part, here.datdba AS owner, a.*
    FROM here, aclexplode(coalesce(here.datacl, acldefault('d', here.datdba))) AS a
    UNION ALL
    SELECT 'N', n.nspname, '', '', n.nspowner, a.*
    FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    UNION ALL
    SELECT CASE f.relkind WHEN 'S' THEN 'S' ELSE 'R' END, f.nspname, f.relname, '', f.relowner, a.*
    FROM found AS f, aclexplode(f.relacl) AS a
    UNION ALL
    SELECT 'C', f.nspname, f.relname, t.attname, f.relowner, a.*
    FROM found AS f JOIN pg_attribute AS t ON t.attrelid = f.oid AND t.attacl IS NOT NULL AND NOT t.attisdropped,
         aclexplode(t.attacl) AS a
), members AS (
    SELECT m.roleid, m.member FROM pg_auth_members AS m
    WHERE m.roleid IN (SELECT oid FROM ours) OR m.member IN (SELECT oid FROM ours) OR m.roleid = (SELECT datdba FROM here)
)
SELECT json_build_object(
    'now', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'database', current_database(),
    'owner', (SELECT json_build_object('name', r.rolname, 'superuser', r.rolsuper, 'ours', pg_has_role(current_user, r.oid, 'USAGE'))
              FROM pg_roles AS r, here WHERE r.oid = here.datdba),
    'me', current_user,
    'bytes', pg_database_size(current_database()),
    'marker', (SELECT shobj_description(oid, 'pg_database') FROM here),
    'prepared', to_regclass('maru.kept_right') IS NOT NULL,
    'metered', to_regclass('maru.usage_reading') IS NOT NULL,
    'roles', (SELECT coalesce(json_agg(json_build_object(
        'name', rolname, 'login', rolcanlogin, 'inherits', rolinherit, 'connections', rolconnlimit, 'remark', remark,
        'mighty', rolsuper OR rolbypassrls OR rolreplication, 'makes', rolcreatedb OR rolcreaterole,
        'mine', pg_has_role(current_user, oid, 'USAGE')) ORDER BY rolname), '[]') FROM ours),
    'members', (SELECT coalesce(json_agg(DISTINCT jsonb_build_array(pg_get_userbyid(roleid), pg_get_userbyid(member))), '[]')
                FROM members WHERE member <> (SELECT oid FROM pg_roles WHERE rolname = current_user)),
    'extensions', (SELECT coalesce(json_agg(extname ORDER BY extname), '[]') FROM pg_extension),
    'schemas', (SELECT coalesce(json_agg(json_build_array(nspname, pg_get_userbyid(nspowner)) ORDER BY nspname), '[]')
                FROM pg_namespace WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\_%'),
    'owners', (SELECT coalesce(json_agg(json_build_object(
        'name', r.rolname, 'superuser', r.rolsuper, 'ours', pg_has_role(current_user, r.oid, 'USAGE')) ORDER BY r.rolname), '[]')
               FROM pg_roles AS r WHERE r.oid IN (SELECT relowner FROM found)),
    'relations', (SELECT coalesce(json_agg(json_build_object(
        'schema', f.nspname, 'name', f.relname, 'kind', f.relkind, 'owner', pg_get_userbyid(f.relowner),
        'rows', f.rows::bigint, 'options', coalesce(f.reloptions, '{}'),
        'definition', CASE WHEN f.relkind = 'v' AND f.nspname LIKE 'maru\_grant\_%' THEN md5(pg_get_viewdef(f.oid)) END,
        'columns', (SELECT coalesce(json_agg(json_build_array(t.attname, format_type(t.atttypid, t.atttypmod), t.attnotnull)
                                             ORDER BY t.attnum), '[]')
                    FROM pg_attribute AS t
                    WHERE t.attrelid = f.oid AND t.attnum > 0 AND NOT t.attisdropped AND f.relkind IN ('r', 'p')),
        'key', (SELECT coalesce(json_agg(t.attname ORDER BY k.place), '[]')
                FROM pg_index AS i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place), pg_attribute AS t
                WHERE i.indrelid = f.oid AND i.indisprimary AND t.attrelid = f.oid AND t.attnum = k.number)
        ) ORDER BY f.nspname, f.relname), '[]') FROM found AS f),
    'rights', (SELECT coalesce(json_agg(json_build_array(
        acl.kind, acl.schema, acl.name, acl.part, CASE acl.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(acl.grantee) END,
        acl.privilege_type, acl.is_grantable)), '[]')
               FROM acl LEFT JOIN pg_roles AS r ON r.oid = acl.grantee
               WHERE acl.grantee <> acl.owner AND NOT coalesce(r.rolsuper OR r.rolname = current_user, false))
)::text
