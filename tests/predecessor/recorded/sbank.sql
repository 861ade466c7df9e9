CREATE TABLE sbank (
	id INTEGER NOT NULL, 
	account TEXT, 
	su_limit_hrs BIGINT, 
	date DATE, 
	upper_limit_informed BOOLEAN, 
	lower_limit_informed BOOLEAN, 
	max_limit_informed BOOLEAN, 
	PRIMARY KEY (id)
)
