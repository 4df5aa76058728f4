require_relative "pg"
require_relative "usage"

run_relay(Connection.new(ENV.fetch("DATABASE_URL")))
