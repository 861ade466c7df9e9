BEGIN TRANSACTION;
CREATE TABLE account (
        account_id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        is_open INTEGER NOT NULL DEFAULT 0 CHECK (is_open IN (0, 1)),
        credit_limit INTEGER DEFAULT 0 CHECK (typeof(credit_limit) IN ('integer', 'null')),
        period_started_on TEXT,
        hold_reason TEXT,
        grant_id INTEGER,
        granted INTEGER NOT NULL DEFAULT 0 CHECK (typeof(granted) = 'integer'),
        used INTEGER NOT NULL DEFAULT 0 CHECK (typeof(used) = 'integer' AND used >= 0),
        entry_count INTEGER NOT NULL DEFAULT 0,
        head_digest TEXT NOT NULL DEFAULT '',
        last_posted_at INTEGER NOT NULL DEFAULT 0,
        change_count INTEGER NOT NULL DEFAULT 0,
        change_digest TEXT NOT NULL DEFAULT ''
    );
INSERT INTO "account" VALUES(1,'test1',1,0,'2026-11-21',NULL,1,36000,36000,2,'9a074ab79e1398102bdcefa0d15c22b1824740e268c02e834d74f18215499f9e',1795272761428854,3,'c0bf3df9f17f334c62d8f222e0cc2daec718ee8b2f5f685c5ed942ea764ee9ee');
INSERT INTO "account" VALUES(2,'dept',1,0,'2026-11-21',NULL,2,361800,0,2,'4f57a65e76d953b55d032b71e18538ac57ca1c1dbc2912e599961f6e10725ea7',1795272761467125,3,'e48b352c36d4622dfab93d2f7cd337d20acc5bf74cf0b7b7ee7d73270d18b929');
INSERT INTO "account" VALUES(3,'proj',1,NULL,'2026-11-21','asked for',3,0,18007,1,'c3919c25b24ebae2cfbb52a04377882af7cb0b0761424de5856e90ae2bf8d0a6',1795272761428854,5,'08691ef632d9ccc0c2a98c97c33fed43f911d36c848c1a68a2a7f099f86dbad0');
CREATE TABLE account_change (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        field TEXT NOT NULL,
        old TEXT,
        new TEXT,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (account_id, seq)
    );
INSERT INTO "account_change" VALUES(1,1,'is_open','0','1','ada','year 2027',1795272761274712,'fd511ee9e8088a63077cf61996e676497fb3d9d5975766a76556601c041ade66');
INSERT INTO "account_change" VALUES(1,2,'period_started_on',NULL,'2026-11-21','ada','year 2027',1795272761274712,'e7279dbc828c348bc61c0d06c8a407d1f552f0aadb5f1aa7af8ffea138053be7');
INSERT INTO "account_change" VALUES(1,3,'grant_id',NULL,'1','ada','year 2027',1795272761274712,'c0bf3df9f17f334c62d8f222e0cc2daec718ee8b2f5f685c5ed942ea764ee9ee');
INSERT INTO "account_change" VALUES(2,1,'is_open','0','1','ada','year 2027',1795272761315649,'afa5ededc007e9be31ab21126df7cab407fa861e0b4d1a8941aa02fc70cddfc7');
INSERT INTO "account_change" VALUES(2,2,'period_started_on',NULL,'2026-11-21','ada','year 2027',1795272761315649,'1d0fcf9c907768cac8853e0809f6775cd503a1dcd9740871fab49723a6c01ce9');
INSERT INTO "account_change" VALUES(2,3,'grant_id',NULL,'2','ada','year 2027',1795272761315649,'e48b352c36d4622dfab93d2f7cd337d20acc5bf74cf0b7b7ee7d73270d18b929');
INSERT INTO "account_change" VALUES(3,1,'is_open','0','1','ada','year 2027',1795272761393712,'2df3ea66f841e36f46c32c171e4963a1df3a30f2342d9b0e3e85ea35eddc6693');
INSERT INTO "account_change" VALUES(3,2,'is_unlimited','0',NULL,'ada','year 2027',1795272761393712,'d6ff8da22d2cb0d1f36effb7b2e34a058affb5810221e233dbbd3685fa22145f');
INSERT INTO "account_change" VALUES(3,3,'period_started_on',NULL,'2026-11-21','ada','year 2027',1795272761393712,'0784cf4c700f0250b73fe746c3a9705d8a37d535245348140c6bf933cdb8e588');
INSERT INTO "account_change" VALUES(3,4,'grant_id',NULL,'3','ada','year 2027',1795272761393712,'52abc9d54e4c31cbee020bc95271fde1387da6ee31bc597e1c13f9ba05f793c7');
INSERT INTO "account_change" VALUES(3,5,'hold_reason',NULL,'asked for','ada','asked for',1795272761483255,'08691ef632d9ccc0c2a98c97c33fed43f911d36c848c1a68a2a7f099f86dbad0');
CREATE TABLE allocation_grant (
        grant_id INTEGER PRIMARY KEY,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        start_at INTEGER NOT NULL,
        end_at INTEGER,
        kind TEXT NOT NULL
    );
INSERT INTO "allocation_grant" VALUES(1,1,1795272761274712,NULL,'allocation');
INSERT INTO "allocation_grant" VALUES(2,2,1795272761315649,NULL,'allocation');
INSERT INTO "allocation_grant" VALUES(3,3,1795272761393712,NULL,'allocation');
CREATE TABLE cluster (
        name TEXT PRIMARY KEY,
        source TEXT NOT NULL,
        source_since INTEGER NOT NULL,
        controller_started TEXT NOT NULL,
        control INTEGER NOT NULL,
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL
    );
INSERT INTO "cluster" VALUES('fake','meters',1795272761288090,'1',0,1795272761424410,1795272761424657);
CREATE TABLE entry (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        target TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (typeof(amount) = 'integer' AND amount > 0),
        grant_id INTEGER REFERENCES allocation_grant (grant_id),
        cluster TEXT,
        user_name TEXT,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        reference TEXT,
        idempotency_key TEXT,
        leg INTEGER NOT NULL,
        posted_at INTEGER NOT NULL CHECK (typeof(posted_at) = 'integer'),
        digest TEXT NOT NULL,
        PRIMARY KEY (account_id, seq),
        UNIQUE (idempotency_key, leg)
    );
INSERT INTO "entry" VALUES(1,1,'deposit','treasury','available',36000,1,NULL,NULL,'ada','year 2027',NULL,NULL,0,1795272761274712,'afe8573a17791eb69c39680fddcc7fc5562981a8e9334c6a598c4b8ada763f8d');
INSERT INTO "entry" VALUES(2,1,'deposit','treasury','available',360000,2,NULL,NULL,'ada','year 2027',NULL,NULL,0,1795272761315649,'81f5709a11e0f126968c1850125cac47eb16a207ceb99446c111643a7c623afe');
INSERT INTO "entry" VALUES(3,1,'charge','available','used',18007,3,'fake','ada','ada','','reading 1/1',NULL,0,1795272761428854,'c3919c25b24ebae2cfbb52a04377882af7cb0b0761424de5856e90ae2bf8d0a6');
INSERT INTO "entry" VALUES(1,2,'charge','available','used',36000,1,'fake','ada','ada','','reading 2/1',NULL,0,1795272761428854,'9a074ab79e1398102bdcefa0d15c22b1824740e268c02e834d74f18215499f9e');
INSERT INTO "entry" VALUES(2,2,'deposit','treasury','available',1800,2,NULL,NULL,'ada','more',NULL,'k1',0,1795272761467125,'4f57a65e76d953b55d032b71e18538ac57ca1c1dbc2912e599961f6e10725ea7');
CREATE TABLE meter (
        meter_id INTEGER PRIMARY KEY,
        cluster TEXT NOT NULL,
        association INTEGER NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        is_gone INTEGER NOT NULL DEFAULT 0 CHECK (is_gone IN (0, 1)),
        reading_count INTEGER NOT NULL,
        raw INTEGER NOT NULL CHECK (typeof(raw) = 'integer' AND raw >= 0),
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL,
        head_digest TEXT NOT NULL,
        UNIQUE (cluster, association)
    );
INSERT INTO "meter" VALUES(1,'fake',1001,3,'ada','',0,1,18007,1795272761424410,1795272761424657,'2e2a4ec4b173b664ba6dad3effaa931bd86902fd77d24a786952da5f365c439a');
INSERT INTO "meter" VALUES(2,'fake',1000,1,'ada','',0,1,36000,1795272761424410,1795272761424657,'9bc04cc6b7cffa117559eaa978fc419639ffecc333eadf14aac31f8c25be3faf');
CREATE TABLE place (
        cluster TEXT NOT NULL,
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        parent_id INTEGER REFERENCES account (account_id),
        charged INTEGER NOT NULL DEFAULT 0 CHECK (typeof(charged) = 'integer'),
        closed INTEGER NOT NULL DEFAULT 0 CHECK (typeof(closed) = 'integer'),
        running INTEGER NOT NULL DEFAULT 0,
        orphaned INTEGER NOT NULL DEFAULT 0,
        held_by_others INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (cluster, account_id)
    );
INSERT INTO "place" VALUES('fake',1,NULL,36000,0,0,0,0);
INSERT INTO "place" VALUES('fake',2,NULL,0,0,0,0,0);
INSERT INTO "place" VALUES('fake',3,2,18007,0,0,0,0);
CREATE TABLE reading (
        meter_id INTEGER NOT NULL REFERENCES meter (meter_id),
        seq INTEGER NOT NULL CHECK (seq > 0),
        user_name TEXT NOT NULL,
        partition_name TEXT NOT NULL,
        raw INTEGER NOT NULL CHECK (typeof(raw) = 'integer' AND raw >= 0),
        cause TEXT NOT NULL,
        booked INTEGER NOT NULL CHECK (typeof(booked) = 'integer' AND booked >= 0),
        asked_at INTEGER NOT NULL,
        answered_at INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (meter_id, seq)
    );
INSERT INTO "reading" VALUES(1,1,'ada','',18007,'first',18007,1795272761424410,1795272761424657,'2e2a4ec4b173b664ba6dad3effaa931bd86902fd77d24a786952da5f365c439a');
INSERT INTO "reading" VALUES(2,1,'ada','',36000,'first',36000,1795272761424410,1795272761424657,'9bc04cc6b7cffa117559eaa978fc419639ffecc333eadf14aac31f8c25be3faf');
CREATE TABLE request (
        idempotency_key TEXT PRIMARY KEY,
        content TEXT NOT NULL,
        answer TEXT NOT NULL,
        answered_at INTEGER NOT NULL
    );
INSERT INTO "request" VALUES('k1','["add", "dept", "0.5"]','{"verb": "add", "amount_su": "0.5", "account": "dept", "is_open": true, "limit_su": "100.5", "used_su": "5.0019", "set_aside_su": "0", "available_su": "95.4981", "percent": 4, "held": "no", "is_held": false, "period_started_on": "2026-11-21", "limit_billing_seconds": 361800, "used_billing_seconds": 18007, "set_aside_billing_seconds": 0, "available_billing_seconds": 343793, "is_repeat": false, "is_dry_run": false}',1795272761467523);
CREATE TABLE "sbank" (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL UNIQUE,
        su_limit_hrs INTEGER,
        date DATE,
        upper_limit_informed BOOLEAN,
        lower_limit_informed BOOLEAN,
        max_limit_informed BOOLEAN
    );
INSERT INTO "sbank" VALUES(1,'test1',10,'2026-11-21',0,0,0);
INSERT INTO "sbank" VALUES(2,'dept',100,'2026-11-21',0,0,0);
INSERT INTO "sbank" VALUES(3,'proj',-1,'2026-11-21',0,0,0);
CREATE TABLE schema_version (
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        applied_at INTEGER NOT NULL,
        program_version TEXT NOT NULL
    );
INSERT INTO "schema_version" VALUES(1,'first',1795272761253651,'1.0.0');
CREATE TABLE settled (
        account_id INTEGER NOT NULL REFERENCES account (account_id),
        cluster TEXT NOT NULL,
        child_id INTEGER NOT NULL REFERENCES account (account_id),
        joined INTEGER NOT NULL DEFAULT 0,
        closed INTEGER NOT NULL DEFAULT 0,
        left_closed INTEGER,
        PRIMARY KEY (account_id, cluster, child_id)
    );
CREATE TABLE slurm_limit (
        cluster TEXT NOT NULL,
        account TEXT NOT NULL,
        user_name TEXT NOT NULL DEFAULT '',
        limit_name TEXT NOT NULL,
        original INTEGER,
        intent TEXT NOT NULL CHECK (intent IN ('hold', 'release')),
        asked_at INTEGER NOT NULL,
        confirmed_at INTEGER,
        PRIMARY KEY (cluster, account, user_name, limit_name)
    );
INSERT INTO "slurm_limit" VALUES('fake','test1','','GrpTRESMins=cpu',500,'hold',1795272761447227,1795272761458792);
INSERT INTO "slurm_limit" VALUES('fake','proj','','GrpTRESMins=cpu',NULL,'hold',1795272761505522,1795272761518402);
CREATE TABLE usage_reset (
        cluster TEXT NOT NULL,
        account TEXT NOT NULL,
        asked_at INTEGER NOT NULL,
        PRIMARY KEY (cluster, account)
    );
CREATE INDEX allocation_grant_account ON allocation_grant (account_id);
CREATE INDEX place_parent ON place (parent_id);
CREATE INDEX place_account ON place (account_id);
CREATE INDEX meter_account ON meter (account_id);
CREATE TRIGGER entry_update_refused BEFORE UPDATE ON entry BEGIN SELECT raise(ABORT, 'entry rows are never changed'); END;
CREATE TRIGGER entry_delete_refused BEFORE DELETE ON entry BEGIN SELECT raise(ABORT, 'entry rows are never changed'); END;
CREATE TRIGGER account_change_update_refused BEFORE UPDATE ON account_change BEGIN SELECT raise(ABORT, 'account_change rows are never changed'); END;
CREATE TRIGGER account_change_delete_refused BEFORE DELETE ON account_change BEGIN SELECT raise(ABORT, 'account_change rows are never changed'); END;
CREATE TRIGGER reading_update_refused BEFORE UPDATE ON reading BEGIN SELECT raise(ABORT, 'reading rows are never changed'); END;
CREATE TRIGGER reading_delete_refused BEFORE DELETE ON reading BEGIN SELECT raise(ABORT, 'reading rows are never changed'); END;
COMMIT;
