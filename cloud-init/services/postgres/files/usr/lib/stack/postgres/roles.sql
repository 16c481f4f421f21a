-- Creates a role and its database, by the variables that the image of PostgreSQL has.
\getenv role POSTGRES_USER
\getenv password POSTGRES_PASSWORD
\getenv database POSTGRES_DB

SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

ALTER ROLE :"role" LOGIN SUPERUSER PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
