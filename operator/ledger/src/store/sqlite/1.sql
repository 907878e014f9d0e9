-- Schema 1. Everything is written once: the triggers refuse changing and deleting.
CREATE TABLE bill (
    id          INTEGER PRIMARY KEY,
    issuer      TEXT    NOT NULL,
    fiscal_year INTEGER NOT NULL,
    sequence    INTEGER NOT NULL CHECK (sequence > 0),
    number      TEXT    NOT NULL,
    agency      TEXT    NOT NULL,
    period      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    issued_at   TEXT    NOT NULL,
    content     TEXT    NOT NULL,
    UNIQUE (issuer, fiscal_year, sequence),
    UNIQUE (issuer, number),
    UNIQUE (issuer, agency, period, kind)
) STRICT;

CREATE TABLE entry (
    bill        INTEGER NOT NULL REFERENCES bill (id),
    position    INTEGER NOT NULL,
    account     TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    minor_units INTEGER NOT NULL,
    PRIMARY KEY (bill, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX entry_account ON entry (account, currency);

CREATE TRIGGER bill_is_final   BEFORE UPDATE ON bill  BEGIN SELECT RAISE(ABORT, 'an issued bill is never changed'); END;
CREATE TRIGGER bill_stays      BEFORE DELETE ON bill  BEGIN SELECT RAISE(ABORT, 'an issued bill is never deleted'); END;
CREATE TRIGGER entry_is_final  BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER entry_stays     BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'an entry is never deleted'); END;
