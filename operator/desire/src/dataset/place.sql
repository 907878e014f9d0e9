-- What a server says of the database $1 and of the role $2, as one JSON text.
SELECT json_build_object(
    'there', d.oid IS NOT NULL,
    'marker', shobj_description(d.oid, 'pg_database'),
    'owner', pg_get_userbyid(d.datdba),
    'mine', coalesce(pg_has_role(current_user, d.datdba, 'USAGE'), false),
    'owner_role_there', EXISTS (SELECT FROM pg_roles WHERE rolname = $2)
)::text
FROM (SELECT 1) AS one LEFT JOIN pg_database AS d ON d.datname = $1
