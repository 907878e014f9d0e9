-- What a server says of the database $1 and of the role $2, as one JSON text.
SELECT json_build_object(
    'there', d.oid IS NOT NULL,
    'marker', shobj_description(d.oid, 'pg_database'),
    'owner', pg_get_userbyid(d.datdba),
    'mine', coalesce(pg_has_role(current_user, d.datdba, 'USAGE'), false),
    'owner_role_there', EXISTS (SELECT FROM pg_roles WHERE rolname = $2),
    -- Both names begin with the dataset's UID, in 16 and in 32 digits.
    'users', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
              WHERE starts_with(rolname, 'maru_user_' || substr($2, length('maru_db_') + 1, 16) || '_'))
)::text
FROM (SELECT 1) AS one LEFT JOIN pg_database AS d ON d.datname = $1
