-- Schema 2: pages in a chain, entries by line. The rows of schema 1 are booked again by the program, with their numbers.
DROP TRIGGER bill_is_final;
DROP TRIGGER bill_stays;
DROP TRIGGER entry_is_final;
DROP TRIGGER entry_stays;
DROP INDEX entry_account;
ALTER TABLE bill RENAME TO bill_1;
ALTER TABLE entry RENAME TO entry_1;

CREATE TABLE account (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE page (
    position    INTEGER PRIMARY KEY,
    issuer      TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('Invoice', 'CreditNote', 'Closing')),
    fiscal_year INTEGER NOT NULL,
    sequence    INTEGER,
    number      TEXT,
    agency      TEXT    NOT NULL,
    period      TEXT    NOT NULL,
    about       TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    places      INTEGER NOT NULL CHECK (places BETWEEN 0 AND 28),
    total       INTEGER NOT NULL,
    entry_count INTEGER NOT NULL,
    issued_at   TEXT    NOT NULL,
    inputs      TEXT,
    content     BLOB    NOT NULL,
    previous    BLOB    NOT NULL CHECK (length(previous) = 32),
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    CHECK ((kind = 'Closing') = (sequence IS NULL) AND (kind = 'Closing') = (number IS NULL)),
    UNIQUE (issuer, fiscal_year, sequence),
    UNIQUE (issuer, number),
    UNIQUE (issuer, period, kind, agency, about)
) STRICT;

CREATE TABLE entry (
    page     INTEGER NOT NULL REFERENCES page (position) DEFERRABLE INITIALLY DEFERRED,
    position INTEGER NOT NULL CHECK (position > 0),
    account  INTEGER NOT NULL REFERENCES account (id),
    units    INTEGER NOT NULL,
    line     INTEGER NOT NULL CHECK (line >= 0),
    PRIMARY KEY (page, position)
) STRICT, WITHOUT ROWID;

-- Entries are written before their page, and the page closes them: from then on nothing joins them.
CREATE TRIGGER entry_joins BEFORE INSERT ON entry WHEN EXISTS (SELECT 1 FROM page WHERE position = NEW.page)
BEGIN SELECT RAISE(ABORT, 'the page is closed: nothing is added to an issued bill'); END;

CREATE TRIGGER page_follows BEFORE INSERT ON page BEGIN
    SELECT RAISE(ABORT, 'pages have no gap: the next one follows the last')
    WHERE NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM page);
    SELECT RAISE(ABORT, 'a page names the digest of the one before it')
    WHERE NEW.previous IS NOT coalesce((SELECT digest FROM page WHERE position = NEW.position - 1), zeroblob(32));
    SELECT RAISE(ABORT, 'numbers have no gap: the next one follows the last of the issuer and year')
    WHERE NEW.sequence IS NOT NULL AND NEW.sequence IS NOT (
        SELECT coalesce(max(sequence), 0) + 1 FROM page WHERE issuer = NEW.issuer AND fiscal_year = NEW.fiscal_year);
    SELECT RAISE(ABORT, 'the entries of a page sum to zero, are all there, and begin with its total')
    FROM (SELECT coalesce(sum(units), 0) AS sum, count(*) AS count,
                 coalesce(max(units) FILTER (WHERE position = 1), 0) AS first
          FROM entry WHERE page = NEW.position) AS booked
    WHERE booked.sum <> 0 OR booked.count <> NEW.entry_count OR (NEW.kind <> 'Closing' AND booked.first <> NEW.total);
END;

CREATE TRIGGER page_is_final    BEFORE UPDATE ON page    BEGIN SELECT RAISE(ABORT, 'an issued bill is never changed'); END;
CREATE TRIGGER page_stays       BEFORE DELETE ON page    BEGIN SELECT RAISE(ABORT, 'an issued bill is never deleted'); END;
CREATE TRIGGER entry_is_final   BEFORE UPDATE ON entry   BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER entry_stays      BEFORE DELETE ON entry   BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;
CREATE TRIGGER account_is_final BEFORE UPDATE ON account BEGIN SELECT RAISE(ABORT, 'an account is never changed'); END;
CREATE TRIGGER account_stays    BEFORE DELETE ON account BEGIN SELECT RAISE(ABORT, 'an account is never deleted'); END;
