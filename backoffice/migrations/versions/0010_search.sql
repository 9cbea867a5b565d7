-- Administrative divisions (GB/T 2260, and below it the statistical codes of streets).
CREATE TABLE office.regions (
    region  text PRIMARY KEY CHECK (region ~ '^[0-9]{2,12}$'),
    parent  text,
    level   smallint NOT NULL CHECK (level BETWEEN 1 AND 5),
    name    text NOT NULL
);
