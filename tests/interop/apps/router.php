<?php
// An origin under php -S: files, the SHA-256 of a body, three events.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/echo') {
  $sum = hash_init('sha256');
  hash_update_stream($sum, fopen('php://input', 'rb'));
  header('Content-Type: text/plain');
  echo hash_final($sum), "\n";
} elseif ($path === '/events') {
  header('Content-Type: text/event-stream');
  foreach ([1, 2, 3] as $n) {
    echo "data: $n\n\n";
    flush();
  }
} else {
  $file = getenv('INTEROP_ROOT') . '/' . basename($path);
  if (!is_file($file)) {
    http_response_code(404);
  } else {
    header('Content-Type: application/octet-stream');
    header('Content-Length: ' . filesize($file));
    if ($_SERVER['REQUEST_METHOD'] !== 'HEAD') readfile($file);
  }
}
