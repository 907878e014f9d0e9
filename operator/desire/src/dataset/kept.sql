-- What Maru wrote down in the database itself: the lives of grants, the views as they were made, and rights that were there first.
SELECT json_build_object(
    'lives', (SELECT coalesce(json_agg(json_build_object(
        'id', grant_id, 'revoked', revoked,
        'not_before', coalesce(to_char(not_before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'infinity'),
        'not_after', coalesce(to_char(not_after AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'infinity'))), '[]') FROM maru.grant_life),
    'views', (SELECT coalesce(json_agg(json_build_array(schema_name, view_name, asked, made)), '[]') FROM maru.grant_view),
    'rights', (SELECT coalesce(json_agg(what), '[]') FROM maru.kept_right)
)::text
