# Does what it is told on standard input, one transaction a line.
require_relative "pg"
require_relative "outbox"

class Undo < StandardError; end

db = Connection.new(ENV.fetch("DATABASE_URL"))
outbox = Outbox.new(db, "/scheduling")
$stdin.each_line do |line|
  told = JSON.parse(line, symbolize_names: true)
  db.transaction do
    outbox.add("care-plan.updated", told[:data])
    raise Undo unless told[:commit]
  end
rescue Undo
  next
end
