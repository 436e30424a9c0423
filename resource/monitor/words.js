// The page's words in English and Vietnamese.

const EN = {
  title: "Pika monitor", theme: "Theme", language: "Tiếng Việt", connected: "connected", lost: "connection lost, trying again",
  waiting: "waiting for the first tag", face: "Face", servos: "Servos", head: "nod", tilt: "tilt", left: "left arm", right: "right arm",
  turns: "Turns", label: "label", source: "source", all: "all", celebrated: "celebrated only", pause: "Pause", resume: "Resume",
  export: "Export TSV", exported: "rows exported", hidden: "Words are hidden (monitor.show_text is off); there is nothing to export.",
  dropped: "tags were dropped: this page is too slow", missed: "tags lost on their way",
  try: "Try it", question: "Pika asked", child: "The child says", reply: "Pika replies", send: "Say it",
  trynote: "Goes to the running node, like a real conversation: the robot's face shows it, too.", sent: "published", tagged: "tagged",
  health: "Health", state: "node", nonode: "no diagnostics from a node", latency: "latency", deadline: "deadline", misses: "over the deadline",
  sources: "who answered", gpu: "GPU memory", inuse: "all programs", details: "all diagnostics", celebrate: "celebrate", ms: "ms", correct: "correct", yes: "yes", no: "no",
  either: "either", corrected: "corrected", histogram: "latencies of the last 1000 tags", noturns: "No turn yet.", tagger: "tagger", newer: "newer turns wait",
};

const VI = {
  title: "Theo dõi Pika", theme: "Giao diện", language: "English", connected: "đã kết nối", lost: "mất kết nối, đang thử lại",
  waiting: "đang chờ nhãn đầu tiên", face: "Khuôn mặt", servos: "Động cơ", head: "gật", tilt: "nghiêng", left: "tay trái", right: "tay phải",
  turns: "Lượt nói", label: "nhãn", source: "nguồn", all: "tất cả", celebrated: "chỉ lượt ăn mừng", pause: "Tạm dừng", resume: "Tiếp tục",
  export: "Xuất TSV", exported: "dòng đã xuất", hidden: "Lời thoại bị ẩn (monitor.show_text đang tắt), nên không có gì để xuất.",
  dropped: "nhãn bị bỏ: trang này quá chậm", missed: "nhãn bị mất trên đường",
  try: "Thử", question: "Pika đã hỏi", child: "Bé nói", reply: "Pika đáp", send: "Gửi",
  trynote: "Gửi tới nút đang chạy như một cuộc trò chuyện thật: mặt của robot cũng sẽ đổi.", sent: "đã gửi", tagged: "đã gắn nhãn",
  health: "Tình trạng", state: "nút", nonode: "không có chẩn đoán từ nút nào", latency: "độ trễ", deadline: "hạn chót", misses: "quá hạn",
  sources: "ai trả lời", gpu: "bộ nhớ GPU", inuse: "mọi chương trình", details: "mọi chẩn đoán", celebrate: "ăn mừng", ms: "ms", correct: "sửa", yes: "có", no: "không",
  either: "tùy", corrected: "đã sửa", histogram: "độ trễ của 1000 nhãn gần nhất", noturns: "Chưa có lượt nào.", tagger: "bộ gắn nhãn", newer: "lượt mới đang chờ",
};

const VI_LABELS = {
  happy: "vui", excited: "phấn khích", playful: "tinh nghịch", proud: "tự hào", thats_right: "đúng rồi", encouraging: "cổ vũ",
  no_problem: "không sao", calm: "dịu dàng", curious: "tò mò", thinking: "suy nghĩ", surprised: "ngạc nhiên", sad: "buồn",
  worry: "lo lắng", afraid: "sợ", angry: "giận", noisy: "ồn quá", idle: "bình thường",
};

export const language = { now: localStorage.language || (navigator.language.startsWith("vi") ? "vi" : "en") };

/** Return a phrase in the visitor's language. */
export const say = (key) => (language.now === "vi" ? VI : EN)[key] ?? key;

/** Return a label's name as people say it. */
export const named = (label) => (language.now === "vi" && VI_LABELS[label]) || label.replaceAll("_", " ");

/** Put the words into every element that asks for one with data-say. */
export function translate() {
  document.documentElement.lang = language.now;
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
}
