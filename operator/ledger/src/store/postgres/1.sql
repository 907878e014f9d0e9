-- The ledger in PostgreSQL: the same tables, and the same refusals, as in a SQLite file (store/sqlite/2.sql).
CREATE TABLE account (
    id   integer PRIMARY KEY,
    name text    NOT NULL UNIQUE
);

CREATE TABLE page (
    position    bigint   PRIMARY KEY,
    issuer      text     NOT NULL,
    kind        text     NOT NULL CHECK (kind IN ('Invoice', 'CreditNote', 'Closing')),
    fiscal_year smallint NOT NULL,
    sequence    bigint,
    number      text,
    agency      text     NOT NULL,
    period      text     NOT NULL,
    about       text     NOT NULL,
    currency    text     NOT NULL,
    places      integer  NOT NULL CHECK (places BETWEEN 0 AND 28),
    total       bigint   NOT NULL,
    entry_count bigint   NOT NULL,
    issued_at   text     NOT NULL,
    inputs      text,
    content     bytea    NOT NULL,
    previous    bytea    NOT NULL CHECK (length(previous) = 32),
    digest      bytea    NOT NULL UNIQUE CHECK (length(digest) = 32),
    CHECK ((kind = 'Closing') = (sequence IS NULL) AND (kind = 'Closing') = (number IS NULL)),
    UNIQUE (issuer, fiscal_year, sequence),
    UNIQUE (issuer, number),
    UNIQUE (issuer, period, kind, agency, about)
);
ALTER TABLE page ALTER COLUMN content SET STORAGE EXTERNAL; -- it is compressed already

-- No foreign keys from here: a check for each of a million rows would take longer than writing them. The triggers below check each
-- statement's rows together.
CREATE TABLE entry (
    page     bigint  NOT NULL,
    position integer NOT NULL CHECK (position > 0),
    account  integer NOT NULL,
    units    bigint  NOT NULL,
    line     integer NOT NULL CHECK (line >= 0),
    PRIMARY KEY (page, position)
);

-- Entries are written after their page, in the transaction that wrote it, and never later.
CREATE FUNCTION entry_joins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT page FROM joined) AS wanted
               LEFT JOIN page ON page.position = wanted.page
               WHERE page.position IS NULL OR page.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'the page is closed: nothing is added to an issued bill';
    END IF;
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT account FROM joined) AS wanted
               LEFT JOIN account ON account.id = wanted.account WHERE account.id IS NULL) THEN
        RAISE EXCEPTION 'an entry names an account that there is not';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_joins AFTER INSERT ON entry REFERENCING NEW TABLE AS joined
FOR EACH STATEMENT EXECUTE FUNCTION entry_joins();

CREATE FUNCTION page_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM page) THEN
        RAISE EXCEPTION 'pages have no gap: the next one follows the last';
    END IF;
    IF NEW.previous <> coalesce((SELECT digest FROM page WHERE position = NEW.position - 1), decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'a page names the digest of the one before it';
    END IF;
    IF NEW.sequence IS NOT NULL AND NEW.sequence <> (
        SELECT coalesce(max(sequence), 0) + 1 FROM page WHERE issuer = NEW.issuer AND fiscal_year = NEW.fiscal_year) THEN
        RAISE EXCEPTION 'numbers have no gap: the next one follows the last of the issuer and year';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER page_follows BEFORE INSERT ON page FOR EACH ROW EXECUTE FUNCTION page_follows();

CREATE FUNCTION page_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE booked record;
BEGIN
    SELECT coalesce(sum(units), 0) AS sum, count(*) AS count, coalesce(max(units) FILTER (WHERE position = 1), 0) AS first
    INTO booked FROM entry WHERE page = NEW.position;
    IF booked.sum <> 0 OR booked.count <> NEW.entry_count OR (NEW.kind <> 'Closing' AND booked.first <> NEW.total) THEN
        RAISE EXCEPTION 'the entries of a page sum to zero, are all there, and begin with its total';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER page_balances AFTER INSERT ON page DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION page_balances();

CREATE FUNCTION is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is booked is never changed or deleted';
END $$;
CREATE TRIGGER page_is_final    BEFORE UPDATE OR DELETE OR TRUNCATE ON page    FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER entry_is_final   BEFORE UPDATE OR DELETE OR TRUNCATE ON entry   FOR EACH STATEMENT EXECUTE FUNCTION is_final();
CREATE TRIGGER account_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON account FOR EACH STATEMENT EXECUTE FUNCTION is_final();
