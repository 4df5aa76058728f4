require "json"
require "open3"

# Stands in for PG::Connection: SQLite, through sqlite.py.
class Connection
  Result = Struct.new(:values)

  def initialize(path)
    @in, @out, = Open3.popen2(ENV.fetch("PYTHON"), ENV.fetch("SQLITE"), path)
  end

  def exec_params(sql, arguments)
    @in.puts(JSON.generate(sql: sql, arguments: arguments))
    answer = JSON.parse(@out.gets)
    raise answer["error"] if answer["error"]

    Result.new(answer["rows"])
  end

  def transaction
    exec_params("BEGIN IMMEDIATE", [])
    yield
    exec_params("COMMIT", [])
  rescue StandardError
    exec_params("ROLLBACK", [])
    raise
  end
end
